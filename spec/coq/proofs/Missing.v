(** The LookupError inside reset is not reached: an unused token without an old value is the only one of
    its variable and context, and the variable is bound there. *)
From stdpp Require Import base numbers gmap strings list.
From Coq Require Import Lia.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
From ContextvarsProofs Require Import Places HamtMap Laws Frame Invariant Tokens Maps.
Local Open Scope N_scope.

Section missing.
  Context {M : Type} `{Lawful M}.
  Context (through_cache : bool).
  Implicit Types (s : state M) (c : N) (t : token).

  (** A token whose reset is to unbind. *)
  Definition unbinds t : Prop := tok_used t = false /\ tok_old t = None.

  Definition bound_in s c v : Prop :=
    exists x, variables s !! v = Some x /\ find (key_of v x) (ctx_map (context_of s c)) <> None.

  Record missing s : Prop := {
    missing_bound id t : tokens s !! id = Some t -> unbinds t -> bound_in s (tok_context t) (tok_variable t);
    missing_one id id' t t' : tokens s !! id = Some t -> tokens s !! id' = Some t' -> unbinds t -> unbinds t' ->
      tok_context t = tok_context t' -> tok_variable t = tok_variable t' -> id = id';
  }.

  (** ** Variables keep their hash *)

  Definition keep_hashes s s' : Prop :=
    forall v x, variables s !! v = Some x -> exists x', variables s' !! v = Some x' /\ var_hash x' = var_hash x.

  Lemma hashes_same f s s' : changes f s s' -> (forall v, AtVariable v ∉ f) -> keep_hashes s s'.
  Proof.
    intros C Hf v x Hx. pose proof (C (AtVariable v) (Hf v)) as E. cbn in E. rewrite Hx in E. cbn in E.
    destruct (variables s' !! v) as [x'|]; [|discriminate]. exists x'. split; [reflexivity|].
    cbn in E. unfold but_cache in E. congruence.
  Qed.

  Lemma hashes_refl s : keep_hashes s s.
  Proof. intros v x Hx. eauto. Qed.

  Ltac absent :=
    intros E; repeat match goal with
      | E : _ ∈ _ ++ _ |- _ => apply elem_of_app in E
      | E : _ ∈ _ :: _ |- _ => apply elem_of_cons in E
      | E : _ \/ _ |- _ => destruct E as [E | E]
      | E : AtVariable _ = _ |- _ => discriminate E
      | E : _ ∈ [] |- _ => inversion E
      | E : _ ∈ map _ _ |- _ => apply elem_of_list_fmap in E as (? & E & _)
      end.

  Lemma hashes_operate th op s : is_thread s th -> keep_hashes s (operate through_cache th op s).1.
  Proof.
    intros L.
    assert (forall name hash d v, keep_hashes s (new_variable name hash d v s).1) as Hnew.
    { intros. unfold new_variable. destruct (variables s !! v) eqn:E; [apply hashes_refl|].
      intros w x Hx. exists x. cbn. rewrite lookup_insert_ne by congruence. auto. }
    destruct op; try (solve [match goal with |- context [operate _ _ ?op _] => apply (hashes_same (footprint th op s)) end;
      [apply (frame through_cache th _ s L)|]; intros v; cbn [footprint];
      unfold on_named, set_fp, reset_fp, named_fp, probe_fp, base_fp, new_fp, return_fp, end_fp, unwind_fp, run_fp, enter_fp;
      repeat match goal with |- context [match ?x with _ => _ end] => destruct x end; absent]).
    - apply Hnew.
    - cbn [operate]. unfold drop. destruct (negb _); [apply hashes_refl|]. cbn [fst].
      destruct dropped; try (solve [intros v x Hx; exists x; auto]).
      + intros v x Hx. cbn. destruct (decide (id = v)) as [<- | Hne].
        * rewrite lookup_alter, Hx. eexists. split; reflexivity.
        * rewrite lookup_alter_ne by exact Hne. eauto.
      + destruct (names s !! id); intros v x Hx; exists x; auto.
    - apply Hnew.
  Qed.

  (** ** What keeps the invariant *)

  (** No token is new or fresh again, hashes stay, and maps that were there keep their bindings. *)
  Lemma missing_keep s s' : inv s -> missing s -> keep_hashes s s' ->
    (forall id t', tokens s' !! id = Some t' -> exists t, tokens s !! id = Some t /\ later t t') ->
    (forall c, c < next_context s -> ctx_map (context_of s' c) = ctx_map (context_of s c)) -> missing s'.
  Proof.
    intros I [B O] Hh Ht Hm.
    assert (forall t t', later t t' -> unbinds t' -> unbinds t) as U.
    { intros t t' (_ & _ & Eo & Hu & _) [U1 U2]. split; [|congruence].
      destruct (tok_used t); [rewrite Hu in U1 by reflexivity; discriminate | reflexivity]. }
    split.
    - intros id t' Ht' Hu. destruct (Ht id t' Ht') as (t & Hid & L). destruct (B id t Hid (U _ _ L Hu)) as (x & Hx & Hf).
      destruct (Hh _ _ Hx) as (x' & Hx' & Eh). destruct L as (Ec & Ev & _). rewrite Ec, Ev. exists x'. split; [exact Hx'|].
      rewrite Hm by apply (inv_tokens s I id t Hid). unfold key_of in *. rewrite Eh. exact Hf.
    - intros id1 id2 t1 t2 H1 H2 U1 U2 Ec Ev.
      destruct (Ht _ _ H1) as (u1 & G1 & L1), (Ht _ _ H2) as (u2 & G2 & L2).
      apply (O id1 id2 u1 u2 G1 G2 (U _ _ L1 U1) (U _ _ L2 U2)).
      + destruct L1 as (A1 & _), L2 as (A2 & _). congruence.
      + destruct L1 as (_ & A1 & _), L2 as (_ & A2 & _). congruence.
  Qed.

  Lemma missing_base th s : inv s -> missing s -> missing (current_or_base th s).1.
  Proof.
    intros I Hs. apply (missing_keep s); auto.
    - intros v x Hx. rewrite variables_base. eauto.
    - intros id t Ht. rewrite tokens_base in Ht. exists t. split; [exact Ht | apply later_refl].
    - intros c Hc. unfold current_or_base. destruct (current _); [reflexivity|]. cbn [fst].
      change (ctx_map (context_of (add_context new_context s) c) = ctx_map (context_of s c)).
      rewrite context_of_add, decide_False by lia. reflexivity.
  Qed.

  (** The map of a context, after one of its bindings is changed. *)
  Lemma context_of_bind th c v x b s d :
    context_of (bind th c v x b s) d = context_of (set_map c (assoc (key_of v x) b (ctx_map (context_of s c))) s) d.
  Proof. unfold bind, fill_cache, set_cache. destruct (variables _ !! v); reflexivity. Qed.

  Lemma context_of_unbind c v x s d :
    context_of (unbind c v x s) d = context_of (set_map c (without (key_of v x) (ctx_map (context_of s c))) s) d.
  Proof. unfold unbind, set_cache. destruct (variables _ !! v); reflexivity. Qed.

  Lemma context_of_set_map c m s d :
    ctx_map (context_of (set_map c m s) d) = if decide (c = d) then m else ctx_map (context_of s d).
  Proof. unfold set_map. rewrite context_of_put. destruct (decide (c = d)); reflexivity. Qed.

  Lemma hashes_cache v y s : keep_hashes s (set_cache v y s).
  Proof.
    apply (hashes_same [AtCache v]); [apply changes_cache|]. intros w E. apply elem_of_cons in E as [E | E]; [discriminate | inversion E].
  Qed.

  Lemma hashes_bind th c v x b s : keep_hashes s (bind th c v x b s).
  Proof. unfold bind, fill_cache. intros w y Hy. apply (hashes_cache v _ (set_map c _ s)). exact Hy. Qed.

  Lemma hashes_unbind c v x s : keep_hashes s (unbind c v x s).
  Proof. unfold unbind. intros w y Hy. apply (hashes_cache v _ (set_map c _ s)). exact Hy. Qed.

  Lemma missing_set th v b id s : inv s -> missing s -> missing (set th v b id s).1.
  Proof.
    intros I Hs. unfold set. destruct (held_variable s v) as [x|] eqn:Ex; [|exact Hs].
    destruct (negb (is_bound s (object_of b)) || present (tokens s !! id)) eqn:Eid; [exact Hs|].
    apply orb_false_iff in Eid as [_ Eid]. apply held_variable_some in Ex.
    pose proof (missing_base th s I Hs) as Hs'. pose proof (inv_base_made th s I) as I'.
    pose proof (variables_base th s) as Ev. pose proof (tokens_base th s) as Et.
    destruct (current_or_base th s) as [s' c]. cbn [fst] in *.
    set (t := MkToken c v (find (key_of v x) (ctx_map (context_of s' c))) false true).
    set (u := set_tokens (insert id t) s'). rewrite <- Ev in Ex.
    assert (tokens s' !! id = None) as Hfresh.
    { rewrite Et. destruct (tokens s !! id); [discriminate | reflexivity]. }
    assert (forall j t', tokens (bind th c v x b u) !! j = Some t' -> (j = id /\ t' = t) \/ (j <> id /\ tokens s' !! j = Some t')) as Htok.
    { intros j t'. rewrite tokens_bind. cbn. destruct (decide (id = j)) as [<- | Hne].
      - rewrite lookup_insert. intros [= <-]. auto.
      - rewrite lookup_insert_ne by exact Hne. auto. }
    assert (forall d w, bound_in s' d w \/ (d = c /\ w = v) -> bound_in (bind th c v x b u) d w) as Hb.
    { intros d w B. unfold bound_in in B.
      change (variables s') with (variables u) in *. 
      assert (bound_in u d w \/ d = c /\ w = v) as B' by exact B.
      destruct B' as [(y & Hy & F) | B']. 
      - destruct (hashes_bind th c v x b u w y Hy) as (y' & Hy' & Eh). exists y'. split; [exact Hy'|].
        rewrite context_of_bind, context_of_set_map. unfold key_of in *. rewrite Eh.
        destruct (decide (c = d)) as [<- |]; [|exact F].
        rewrite law_find_assoc by (apply fold_half || apply (inv_maps s' I')). destruct (key_eqb _ _); [discriminate | exact F].
      - destruct B' as [-> ->]. destruct (hashes_bind th c v x b u v x Ex) as (y' & Hy' & Eh). exists y'. split; [exact Hy'|].
        rewrite context_of_bind, context_of_set_map, decide_True by reflexivity. unfold key_of. rewrite Eh.
        rewrite law_find_assoc by (apply fold_half || apply (inv_maps s' I')). rewrite key_eqb_refl. discriminate. }
    destruct Hs' as [B O]. cbn [fst]. split.
    - intros j t' Hj U. destruct (Htok j t' Hj) as [[-> ->] | [_ Hj']]; apply Hb; [auto | left; apply (B j t' Hj' U)].
    - assert (forall j t', tokens s' !! j = Some t' -> unbinds t' -> unbinds t -> tok_context t' = c -> tok_variable t' = v -> False) as D.
      { intros j t' Hj U' [_ Eo] Ec' Ev'. destruct (B j t' Hj U') as (y & Hy & F). rewrite Ec', Ev' in *.
        rewrite Hy in Ex. injection Ex as ->. apply F, Eo. }
      intros j1 j2 t1 t2 H1 H2 U1 U2 Ec' Ev'.
      destruct (Htok j1 t1 H1) as [[-> ->] | [_ G1]], (Htok j2 t2 H2) as [[-> ->] | [_ G2]]; auto.
      + exfalso. apply (D j2 t2 G2 U2 U1); symmetry; assumption.
      + exfalso. apply (D j1 t1 G1 U1 U2); assumption.
      + apply (O j1 j2 t1 t2); assumption.
  Qed.

  (** Reset answers as its checks say: with the invariant there is no LookupError. *)
  Lemma missing_reset th v id t s : inv s -> missing s -> tokens s !! id = Some t ->
    missing (reset th v id t s).1 /\
    (reset th v id t s).2 =
      if tok_used t then Error (TokenUsed id)
      else if negb (tok_variable t =? v) then Error (TokenOfOtherVariable id)
      else if negb (tok_context t =? current_of th s) then Error (TokenOfOtherContext id)
      else Done.
  Proof.
    intros I Hs Ht. unfold reset. destruct (tok_used t) eqn:Eu; [auto|].
    destruct (N.eqb_spec (tok_variable t) v) as [<- |]; cbn [negb]; [|auto].
    pose proof (missing_base th s I Hs) as Hs'. pose proof (inv_base_made th s I) as I'.
    pose proof (variables_base th s) as Ev. pose proof (tokens_base th s) as Et.
    rewrite <- (current_or_base_current th s).
    destruct (current_or_base th s) as [s' c]. cbn [fst snd] in *.
    destruct (N.eqb_spec (tok_context t) c) as [<- |]; cbn [negb]; [|auto].
    rewrite <- Et in Ht. destruct (inv_tokens s' I' id t Ht) as [_ [x Hx]]. rewrite Hx.
    set (u := use id t s').
    assert (forall j t', tokens u !! j = Some t' -> unbinds t' -> j <> id /\ tokens s' !! j = Some t') as Htok.
    { intros j t' Hj [U _]. cbn in Hj. destruct (decide (id = j)) as [<- | Hne].
      - rewrite lookup_insert in Hj. injection Hj as <-. discriminate U.
      - rewrite lookup_insert_ne in Hj by exact Hne. auto. }
    destruct Hs' as [B O]. destruct (tok_old t) as [old|] eqn:Eo.
    - split; [|reflexivity]. cbn [fst]. split.
      + intros j t' Hj U. rewrite tokens_bind in Hj. destruct (Htok j t' Hj U) as [_ Hj'].
        destruct (B j t' Hj' U) as (y & Hy & F).
        destruct (hashes_bind th (tok_context t) (tok_variable t) x old u _ y Hy) as (y' & Hy' & Eh).
        exists y'. split; [exact Hy'|]. rewrite context_of_bind, context_of_set_map. unfold key_of in *. rewrite Eh.
        destruct (decide _) as [E | ]; [|exact F].
        rewrite law_find_assoc by (apply fold_half || apply (inv_maps s' I')).
        destruct (key_eqb _ _); [discriminate|]. rewrite E. exact F.
      + intros j1 j2 t1 t2 H1 H2 U1 U2. rewrite tokens_bind in H1, H2.
        destruct (Htok j1 t1 H1 U1) as [_ G1], (Htok j2 t2 H2 U2) as [_ G2]. apply (O j1 j2 t1 t2); assumption.
    - assert (unbinds t) as Ut by (split; assumption).
      destruct (B id t Ht Ut) as (x' & Hx' & F). rewrite Hx in Hx'. injection Hx' as <-.
      change (context_of u (tok_context t)) with (context_of s' (tok_context t)).
      destruct (find (key_of (tok_variable t) x) (ctx_map (context_of s' (tok_context t)))) eqn:Ef; [|congruence].
      cbn [present]. split; [|reflexivity]. cbn [fst]. split.
      + intros j t' Hj U. rewrite tokens_unbind in Hj. destruct (Htok j t' Hj U) as [Hne Hj'].
        destruct (B j t' Hj' U) as (y & Hy & F').
        destruct (hashes_unbind (tok_context t) (tok_variable t) x u _ y Hy) as (y' & Hy' & Eh).
        exists y'. split; [exact Hy'|]. rewrite context_of_unbind, context_of_set_map. unfold key_of in *. rewrite Eh.
        destruct (decide _) as [E | ]; [|exact F'].
        rewrite law_find_without by (apply fold_half || apply (inv_maps s' I')).
        destruct (key_eqb _ _) eqn:Ek; [|rewrite E; exact F'].
        (* the same variable: then it is the same token *)
        exfalso. apply Hne. apply key_eqb_true in Ek. injection Ek as Ek _.
        apply (O j id t' t); auto.
      + intros j1 j2 t1 t2 H1 H2 U1 U2. rewrite tokens_unbind in H1, H2.
        destruct (Htok j1 t1 H1 U1) as [_ G1], (Htok j2 t2 H2 U2) as [_ G2]. apply (O j1 j2 t1 t2); assumption.
  Qed.

  Lemma missing_operate th op s : is_thread s th -> inv s -> missing s -> missing (operate through_cache th op s).1.
  Proof.
    intros L I Hs.
    assert (binds op = false -> (forall id t', tokens (operate through_cache th op s).1 !! id = Some t' ->
      exists t, tokens s !! id = Some t /\ later t t') -> missing (operate through_cache th op s).1) as others.
    { intros Hb Ht. apply (missing_keep s); auto; [apply hashes_operate, L|]. intros c Hc. apply map_frame; auto. }
    assert ((forall id, AtToken id ∉ footprint th op s) -> forall id t', tokens (operate through_cache th op s).1 !! id = Some t' ->
      exists t, tokens s !! id = Some t /\ later t t') as still.
    { intros Hf id t' Ht'. pose proof (frame through_cache th op s L (AtToken id) (Hf id)) as E. cbn in E.
      rewrite E in Ht'. eauto using later_refl. }
    destruct op; try (solve [apply others; [reflexivity|]; apply still; intros tok; cbn [footprint];
      unfold on_named, named_fp, probe_fp, base_fp, new_fp, return_fp, end_fp, unwind_fp, run_fp, enter_fp;
      repeat match goal with |- context [match ?x with _ => _ end] => destruct x end;
      intros E; repeat match goal with
        | E : _ ∈ _ ++ _ |- _ => apply elem_of_app in E
        | E : _ ∈ _ :: _ |- _ => apply elem_of_cons in E
        | E : _ \/ _ |- _ => destruct E as [E | E]
        | E : AtToken _ = _ |- _ => discriminate E
        | E : _ ∈ [] |- _ => inversion E
        | E : _ ∈ map _ _ |- _ => apply elem_of_list_fmap in E as (? & E & _)
        end]); clear others still.
    - apply missing_set; assumption.
    - cbn [operate]. unfold reset_any. destruct (held_variable s variable); [|exact Hs]. destruct token; try exact Hs.
      destruct (held_token s id) as [t|] eqn:Ht; [|exact Hs]. apply missing_reset; auto. apply held_token_some, Ht.
    - cbn [operate]. unfold on_token. destruct (held_token s token) as [t|] eqn:Ht; [|exact Hs].
      apply missing_reset; auto. apply held_token_some, Ht.
    - apply (missing_keep s); auto; [apply (hashes_operate th (OpDrop dropped)), L | | intros c Hc; apply (map_frame through_cache th (OpDrop dropped)); auto].
      intros id t'. cbn [operate]. unfold drop. destruct (negb _); [eauto using later_refl|]. cbn [fst].
      destruct dropped; try (eauto using later_refl).
      + cbn. destruct (decide (id0 = id)) as [<- | Hne].
        * rewrite lookup_alter. destruct (tokens s !! id0) as [t|] eqn:Et; [|discriminate]. cbn. intros [= <-].
          exists t. split; [reflexivity | repeat split; auto].
        * rewrite lookup_alter_ne by exact Hne. eauto using later_refl.
      + destruct (names s !! id0); eauto using later_refl.
    - cbn [operate]. destruct variable; try exact Hs. apply missing_set; assumption.
    - cbn [operate]. destruct (is_bound s variable && is_bound s token); [|exact Hs]. destruct variable; try exact Hs.
      destruct token; try exact Hs. unfold on_token. destruct (held_token s id0) as [t|] eqn:Ht; [|exact Hs].
      apply missing_reset; auto. apply held_token_some, Ht.
  Qed.

  Lemma missing_initial : missing (initial (M := M)).
  Proof. split; cbn; intros *; rewrite lookup_empty; discriminate. Qed.

  Theorem reachable_missing s : reachable through_cache s -> missing s.
  Proof.
    induction 1 as [|s p R IH]; [apply missing_initial|].
    apply reachable_inv in R. set (e := set_events [] s).
    assert (missing e) as He by (destruct IH; split; assumption).
    assert (inv e) as Ie by (apply inv_events, R).
    unfold perform, carry_out. fold e.
    destruct (threads e !! step_thread p) as [t|] eqn:Et; cbn [default]; [|exact He].
    destruct (th_live t) eqn:El; cbn; [|rewrite El; exact He]. rewrite El.
    destruct (forallb (is_bound e) (uses (step_operation p))); [|exact He].
    assert (is_thread e (step_thread p)) as L by (unfold is_thread; rewrite Et; cbn; rewrite El; reflexivity).
    pose proof (missing_operate (step_thread p) (step_operation p) e L Ie He) as Hm.
    destruct (operate through_cache (step_thread p) (step_operation p) e). exact Hm.
  Qed.

  (** RESET-2 to RESET-9: in every reachable state these are all the answers of reset. *)
  Theorem reset_answers th v id t s : reachable through_cache s -> tokens s !! id = Some t ->
    (reset th v id t s).2 =
      if tok_used t then Error (TokenUsed id)
      else if negb (tok_variable t =? v) then Error (TokenOfOtherVariable id)
      else if negb (tok_context t =? current_of th s) then Error (TokenOfOtherContext id)
      else Done.
  Proof. intros R Ht. apply missing_reset; [eapply reachable_inv, R | apply reachable_missing, R | exact Ht]. Qed.

  (** RESET-6: the LookupError of [contextvar_del] is unreachable. *)
  Theorem reset_no_lookup_error th v id t s w : reachable through_cache s -> tokens s !! id = Some t ->
    (reset th v id t s).2 <> Error (LookupError w).
  Proof.
    intros R Ht. rewrite (reset_answers th v id t s R Ht).
    destruct (tok_used t); [discriminate|]. destruct (negb _); [discriminate|]. destruct (negb _); discriminate.
  Qed.
End missing.
