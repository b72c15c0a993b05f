(** The invariant of every reachable state: which contexts exist, where they are entered, what tokens
    point to. *)
From stdpp Require Import base numbers gmap strings list.
From Coq Require Import Lia.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
From ContextvarsProofs Require Import HamtMap Laws Frame.
Local Open Scope N_scope.

Section invariant.
  Context {M : Type} `{Lawful M}.
  Context (through_cache : bool).
  Implicit Types (s : state M) (c : N).

  (** A context is on the stack of a thread, alive or ended. *)
  Definition on_stack s th c : Prop := c ∈ th_stack (thread_of s th).

  Record inv s : Prop := {
    (** The numbers of contexts are fresh: those below the next are in use. *)
    inv_contexts c : is_Some (contexts s !! c) <-> c < next_context s;
    inv_names name c : names s !! name = Some c -> c < next_context s;
    inv_references r name c : references s !! r = Some (name, c) -> c < next_context s;
    inv_stacks th c : on_stack s th c -> c < next_context s;
    inv_frames th c name : (c, name) ∈ th_frames (thread_of s th) -> c < next_context s;
    (** Tokens point to contexts and variables that exist. *)
    inv_tokens id t : tokens s !! id = Some t ->
      tok_context t < next_context s /\ is_Some (variables s !! tok_variable t);
    (** A context is entered if and only if it is on a stack, on one only, and there once. *)
    inv_entered c : ctx_entered (context_of s c) = true <-> exists th, on_stack s th c;
    inv_one th th' c : on_stack s th c -> on_stack s th' c -> th = th';
    inv_once th : NoDup (th_stack (thread_of s th));
    (** A base context exists, has no name, is not entered, and is of one thread. *)
    inv_base th b : th_base (thread_of s th) = Some b ->
      b < next_context s /\ ctx_entered (context_of s b) = false /\ (forall name, names s !! name <> Some b);
    inv_base_one th th' b : th_base (thread_of s th) = Some b -> th_base (thread_of s th') = Some b -> th = th';
    inv_frames_base th th' b name : th_base (thread_of s th) = Some b -> (b, name) ∉ th_frames (thread_of s th');
    inv_maps c : good (ctx_map (context_of s c));
    inv_watchers : length (watchers s) = 8%nat;
  }.

  Theorem inv_initial : inv (initial (M := M)).
  Proof.
    assert (forall th, thread_of (initial (M := M)) th = new_thread) as T.
    { intros th. unfold thread_of. cbn. destruct (decide (th = 0)) as [-> | Hne].
      - rewrite lookup_singleton. reflexivity.
      - rewrite lookup_singleton_ne by congruence. reflexivity. }
    assert (forall c, context_of (initial (M := M)) c = new_context) as C.
    { intros c. unfold context_of. cbn. rewrite lookup_empty. reflexivity. }
    split; unfold on_stack; intros; rewrite ?T, ?C in *; cbn in *; try discriminate.
    - rewrite lookup_empty. split; [intros [? ?]; discriminate | lia].
    - match goal with E : _ ∈ [] |- _ => inversion E end.
    - match goal with E : _ ∈ [] |- _ => inversion E end.
    - split; [discriminate | intros [th E]; rewrite T in E; inversion E].
    - match goal with E : _ ∈ [] |- _ => inversion E end.
    - constructor.
    - apply good_empty.
    - reflexivity.
  Qed.

  (** What the invariant says of a thread. *)
  Definition shape (t : thread) := (th_stack t, th_base t, th_frames t).

  (** Whatever leaves contexts, their flags and the threads' shapes alone keeps it. *)
  Lemma inv_keep s s' : inv s ->
    next_context s' = next_context s ->
    (forall c, is_Some (contexts s' !! c) <-> is_Some (contexts s !! c)) ->
    (forall c, ctx_entered (context_of s' c) = ctx_entered (context_of s c)) ->
    (forall th, shape (thread_of s' th) = shape (thread_of s th)) ->
    (forall name c, names s' !! name = Some c -> names s !! name = Some c) ->
    (forall r name c, references s' !! r = Some (name, c) -> c < next_context s) ->
    (forall id t, tokens s' !! id = Some t -> tok_context t < next_context s /\ is_Some (variables s' !! tok_variable t)) ->
    (forall c, good (ctx_map (context_of s' c))) ->
    length (watchers s') = 8%nat ->
    inv s'.
  Proof.
    intros I En Ec Ee Es Nn Nr Nt Ng Nw.
    assert (forall th, th_stack (thread_of s' th) = th_stack (thread_of s th)) as Es1 by (intros th; specialize (Es th); unfold shape in Es; congruence).
    assert (forall th, th_base (thread_of s' th) = th_base (thread_of s th)) as Es2 by (intros th; specialize (Es th); unfold shape in Es; congruence).
    assert (forall th, th_frames (thread_of s' th) = th_frames (thread_of s th)) as Es3 by (intros th; specialize (Es th); unfold shape in Es; congruence).
    destruct I as [I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I11 I12 I13 I14].
    unfold on_stack in *. split; unfold on_stack; intros; rewrite ?En, ?Es1, ?Es2, ?Es3, ?Ee in *; eauto.
    - rewrite Ec. apply I1.
    - rewrite I7. split; intros [th Hth]; exists th; rewrite ?Es1 in *; exact Hth.
    - destruct (I10 _ _ H1) as (A & B & C). repeat split; auto. intros name E. apply (C name), Nn, E.
  Qed.

  Lemma is_some_put s c x d : c < next_context s -> inv s ->
    is_Some (contexts (put_context c x s) !! d) <-> is_Some (contexts s !! d).
  Proof.
    intros Hc I. cbn. destruct (decide (c = d)) as [<- | Hne].
    - rewrite lookup_insert. split; [intros _; apply (inv_contexts s I), Hc | eauto].
    - rewrite lookup_insert_ne by exact Hne. reflexivity.
  Qed.

  (** ** Contexts are made *)

  Lemma context_of_fresh s c : inv s -> next_context s <= c -> context_of s c = new_context.
  Proof.
    intros I Hc. unfold context_of. destruct (contexts s !! c) eqn:E; [|reflexivity].
    assert (c < next_context s) by (apply (inv_contexts s I); eauto). lia.
  Qed.

  Lemma context_of_add x s c :
    context_of (add_context x s) c = if decide (next_context s = c) then x else context_of s c.
  Proof. exact (context_of_put s (next_context s) x c). Qed.

  Lemma inv_add x s : inv s -> ctx_entered x = false -> good (ctx_map x) -> inv (add_context x s).
  Proof.
    intros I Hx Hg. pose proof I as [I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I11 I12 I13 I14].
    assert (forall c, ctx_entered (context_of (add_context x s) c) = ctx_entered (context_of s c)) as Ee.
    { intros c. rewrite context_of_add. destruct (decide (next_context s = c)) as [<- |]; [|reflexivity].
      rewrite context_of_fresh by (auto; lia). exact Hx. }
    unfold on_stack in *. split; unfold on_stack; intros; rewrite ?Ee in *; cbn [next_context add_context set_next_context names
      references tokens variables put_context set_contexts watchers] in *; eauto;
      try (match goal with |- _ < _ + 1 => idtac end;
        match goal with
        | E : names s !! _ = Some _ |- _ => apply I2 in E; lia
        | E : references s !! _ = Some _ |- _ => apply I3 in E; lia
        | E : _ ∈ th_stack _ |- _ => apply I4 in E; lia
        | E : _ ∈ th_frames _ |- _ => apply I5 in E; lia
        end).
    - cbn. destruct (decide (next_context s = c)) as [<- | Hne].
      + rewrite lookup_insert. split; [lia | eauto].
      + rewrite lookup_insert_ne by exact Hne. rewrite I1. lia.
    - destruct (I6 _ _ H1). split; [lia | assumption].
    - destruct (I10 _ _ H1) as (A & B & C). repeat split; auto. lia.
    - rewrite context_of_add. destruct (decide _); [exact Hg | apply I13].
  Qed.

  Lemma inv_name_context name m s : inv s -> good m -> inv (name_context name m s).
  Proof.
    intros I Hm. unfold name_context. set (x := MkContext m false (Some name)).
    assert (inv (add_context x s)) as Ia by (apply inv_add; auto).
    pose proof I as [_ _ _ _ _ _ _ _ _ I10 _ _ _ _].
    destruct Ia as [J1 J2 J3 J4 J5 J6 J7 J8 J9 J10 J11 J12 J13 J14].
    split; auto.
    - intros n c. cbn. destruct (decide (name = n)) as [<- | Hne].
      + rewrite lookup_insert. intros [= <-]. lia.
      + rewrite lookup_insert_ne by exact Hne. apply J2.
    - intros th b Hb. destruct (J10 th b Hb) as (A & B & C). repeat split; auto. intros n. cbn.
      destruct (decide (name = n)) as [<- | Hne].
      + rewrite lookup_insert. intros [= E]. destruct (I10 th b Hb) as (A' & _). lia.
      + rewrite lookup_insert_ne by exact Hne. apply C.
  Qed.

  Lemma inv_base_made th s : inv s -> inv (current_or_base th s).1.
  Proof.
    intros I. unfold current_or_base. destruct (current (thread_of s th)) as [c|] eqn:Ec; [exact I|]. cbn [fst].
    assert (inv (add_context new_context s)) as Ia by (apply inv_add; [exact I | reflexivity | apply good_empty]).
    assert (th_base (thread_of s th) = None /\ th_stack (thread_of s th) = []) as [Eb Es].
    { unfold current in Ec. destruct (th_stack (thread_of s th)); [auto | discriminate]. }
    set (t := MkThread _ _ _ _ _ _). set (a := add_context new_context s) in *.
    assert (forall th', th_stack (thread_of (put_thread th t a) th') = th_stack (thread_of a th')) as E1.
    { intros th'. rewrite thread_of_put. destruct (decide (th = th')) as [<- |]; reflexivity. }
    assert (forall th', th_frames (thread_of (put_thread th t a) th') = th_frames (thread_of a th')) as E2.
    { intros th'. rewrite thread_of_put. destruct (decide (th = th')) as [<- |]; reflexivity. }
    assert (forall th' b, th_base (thread_of (put_thread th t a) th') = Some b ->
      (th' = th /\ b = next_context s) \/ (th' <> th /\ th_base (thread_of a th') = Some b)) as E3.
    { intros th' b. rewrite thread_of_put. destruct (decide (th = th')) as [<- |]; [|auto].
      intros [= <-]. left. auto. }
    pose proof I as [I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I11 I12 I13 I14].
    destruct Ia as [J1 J2 J3 J4 J5 J6 J7 J8 J9 J10 J11 J12 J13 J14].
    unfold on_stack in *. split; unfold on_stack; intros; rewrite ?E1, ?E2 in *; eauto.
    - change (context_of (put_thread th t a) c) with (context_of a c). rewrite J7.
      split; intros [th' Hth]; exists th'; rewrite ?E1 in *; exact Hth.
    - apply E3 in H1 as [[-> ->] | [Hne Hb]]; [|exact (J10 _ _ Hb)]. repeat split.
      + change (next_context s < next_context s + 1). lia.
      + change (ctx_entered (context_of a (next_context s)) = false). unfold a. rewrite context_of_add, decide_True by reflexivity. reflexivity.
      + intros name E. apply I2 in E. lia.
    - apply E3 in H1 as [[-> ->] | [Hne Hb]], H2 as [[-> E] | [Hne' Hb']]; auto.
      + destruct (I10 _ _ Hb') as (A & _). lia.
      + subst b. destruct (I10 _ _ Hb) as (A & _). lia.
      + eapply J11; eassumption.
    - apply E3 in H1 as [[-> ->] | [Hne Hb]].
      + intros E. apply (I5 th') in E. lia.
      + apply (J12 _ _ _ _ Hb).
  Qed.

  Lemma current_lt th s c : inv s -> current (thread_of s th) = Some c -> c < next_context s.
  Proof.
    intros I E. unfold current in E. destruct (th_stack (thread_of s th)) as [|d l] eqn:Es.
    - apply (inv_base s I th), E.
    - injection E as ->. apply (inv_stacks s I th). unfold on_stack. rewrite Es. left.
  Qed.

  Lemma base_made_lt th s : inv s -> (current_or_base th s).2 < next_context (current_or_base th s).1.
  Proof.
    intros I. unfold current_or_base. destruct (current (thread_of s th)) as [c|] eqn:E; cbn.
    - apply (current_lt th s c I E).
    - lia.
  Qed.

  (** ** Maps, caches, tokens *)

  Lemma inv_set_map c m s : inv s -> c < next_context s -> good m -> inv (set_map c m s).
  Proof.
    intros I Hc Hm. unfold set_map. apply (inv_keep s); auto.
    - intros d. apply is_some_put; assumption.
    - intros d. rewrite context_of_put. destruct (decide (c = d)) as [<- |]; reflexivity.
    - intros r n d E. eapply (inv_references s I), E.
    - apply (inv_tokens s I).
    - intros d. rewrite context_of_put. destruct (decide (c = d)); [exact Hm | apply (inv_maps s I)].
    - apply (inv_watchers s I).
  Qed.

  Lemma inv_set_cache v x s : inv s -> inv (set_cache v x s).
  Proof.
    intros I. unfold set_cache. destruct (variables s !! v) as [y|] eqn:E; [|exact I].
    apply (inv_keep s); auto; try apply I; try (intros; reflexivity).
    intros id t Ht. destruct (inv_tokens s I id t Ht) as [A B]. split; [exact A|]. cbn.
    destruct (decide (v = tok_variable t)) as [<- | Hne]; [rewrite lookup_insert; eauto | rewrite lookup_insert_ne by exact Hne; exact B].
  Qed.

  Lemma inv_variables f s : inv s -> (forall v, is_Some (variables s !! v) -> is_Some (f (variables s) !! v)) ->
    inv (set_variables f s).
  Proof.
    intros I Hf. apply (inv_keep s); auto; try apply I; try (intros; reflexivity).
    intros id t Ht. destruct (inv_tokens s I id t Ht) as [A B]. split; [exact A | apply Hf, B].
  Qed.

  Lemma inv_set_tokens f s : inv s ->
    (forall id t, f (tokens s) !! id = Some t -> tok_context t < next_context s /\ is_Some (variables s !! tok_variable t)) ->
    inv (set_tokens f s).
  Proof. intros I Hf. apply (inv_keep s); auto; try apply I; intros; reflexivity. Qed.

  Lemma inv_bind th c v x b s : inv s -> c < next_context s -> inv (bind th c v x b s).
  Proof.
    intros I Hc. unfold bind. apply inv_set_cache, inv_set_map; auto.
    apply good_assoc; [apply key_of_ok | apply (inv_maps s I)].
  Qed.

  Lemma inv_unbind c v x s : inv s -> c < next_context s -> inv (unbind c v x s).
  Proof.
    intros I Hc. unfold unbind. apply inv_set_cache, inv_set_map; auto.
    apply good_without; [apply key_of_ok | apply (inv_maps s I)].
  Qed.

  Lemma inv_get th v d s : inv s -> inv (get through_cache th v d s).1.
  Proof.
    intros I. unfold get. destruct (held_variable s v); [|exact I].
    destruct (lookup _ _ _ _ _); [apply inv_set_cache, I | exact I].
  Qed.

  Lemma held_variable_some s v x : held_variable s v = Some x -> variables s !! v = Some x.
  Proof. unfold held_variable. destruct (variables s !! v) as [y|]; [destruct (var_held y)|]; congruence. Qed.

  Lemma variables_base th s : variables (current_or_base th s).1 = variables s.
  Proof. unfold current_or_base. destruct (current _); reflexivity. Qed.
  Lemma tokens_base th s : tokens (current_or_base th s).1 = tokens s.
  Proof. unfold current_or_base. destruct (current _); reflexivity. Qed.

  Lemma inv_set th v b id s : inv s -> inv (set th v b id s).1.
  Proof.
    intros I. unfold set. destruct (held_variable s v) as [x|] eqn:Ex; [|exact I].
    destruct (_ || _); [exact I|]. pose proof (inv_base_made th s I) as I'. pose proof (base_made_lt th s I) as Hc.
    pose proof (variables_base th s) as Ev.
    destruct (current_or_base th s) as [s' c]. cbn [fst snd] in *.
    apply inv_bind; [|exact Hc]. apply inv_set_tokens; [exact I'|]. intros j t.
    destruct (decide (id = j)) as [<- | Hne].
    - rewrite lookup_insert. intros [= <-]. cbn. split; [exact Hc|]. rewrite Ev. apply held_variable_some in Ex. eauto.
    - rewrite lookup_insert_ne by exact Hne. apply (inv_tokens s' I').
  Qed.

  Lemma inv_use id t s : inv s -> tokens s !! id = Some t -> inv (use id t s).
  Proof.
    intros I Ht. apply inv_set_tokens; [exact I|]. intros j u. destruct (decide (id = j)) as [<- | Hne].
    - rewrite lookup_insert. intros [= <-]. cbn. apply (inv_tokens s I id t Ht).
    - rewrite lookup_insert_ne by exact Hne. apply (inv_tokens s I).
  Qed.

  Lemma inv_reset th v id t s : inv s -> tokens s !! id = Some t -> inv (reset th v id t s).1.
  Proof.
    intros I Ht. unfold reset. destruct (tok_used t); [exact I|]. destruct (negb _); [exact I|].
    pose proof (inv_base_made th s I) as I'. pose proof (base_made_lt th s I) as Hc. pose proof (tokens_base th s) as Et.
    destruct (current_or_base th s) as [s' c]. cbn [fst snd] in *. destruct (negb _); [exact I'|].
    destruct (variables s' !! v) as [x|]; [|exact I'].
    assert (inv (use id t s')) as Iu by (apply inv_use; [exact I' | rewrite Et; exact Ht]).
    destruct (tok_old t); [apply inv_bind; assumption|]. destruct (present _); [apply inv_unbind; assumption | exact Iu].
  Qed.

  (** ** Threads *)

  Lemma inv_same_threads s s' : inv s ->
    values s' = values s -> variables s' = variables s -> tokens s' = tokens s -> contexts s' = contexts s ->
    next_context s' = next_context s -> names s' = names s -> references s' = references s ->
    length (watchers s') = 8%nat -> (forall th, shape (thread_of s' th) = shape (thread_of s th)) -> inv s'.
  Proof.
    intros I E1 E2 E3 E4 E5 E6 E7 E8 Es.
    assert (forall c, context_of s' c = context_of s c) as Ec by (intros c; unfold context_of; rewrite E4; reflexivity).
    apply (inv_keep s); auto; rewrite ?E2, ?E3, ?E4, ?E6, ?E7; auto; try apply I; intros; rewrite Ec; auto. apply I.
  Qed.

  (** The stack, when a context is entered or exited: [inv] up to the flag of one context. *)
  Lemma inv_enter th c name s : inv s -> c < next_context s -> (forall th' b, th_base (thread_of s th') = Some b -> b <> c) ->
    inv (enter th c name s).1.
  Proof.
    intros I Hc Hbase. unfold enter. destruct (ctx_entered (context_of s c)) eqn:Ee; [exact I|]. cbn [fst].
    pose proof I as [I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I11 I12 I13 I14].
    assert (forall th', ~ on_stack s th' c) as Hoff.
    { intros th' Hth. assert (ctx_entered (context_of s c) = true) by (apply I7; eauto). congruence. }
    set (e := set_entered c true s). set (stack := c :: th_stack (thread_of s th)). set (s' := switch th stack e).
    assert (forall d, context_of s' d = if decide (c = d) then MkContext (ctx_map (context_of s c)) true (ctx_name (context_of s c)) else context_of s d) as Ec
      by (intros d; exact (context_of_put s c _ d)).
    assert (forall th', th_stack (thread_of s' th') = if decide (th = th') then stack else th_stack (thread_of s th')) as Es.
    { intros th'. unfold s', switch, tell, thread_of. cbn.
      destruct (decide (th = th')) as [<- | Hne]; [rewrite lookup_insert | rewrite lookup_insert_ne by exact Hne]; reflexivity. }
    assert (forall th', th_base (thread_of s' th') = th_base (thread_of s th')) as Eb.
    { intros th'. unfold s', switch, tell, thread_of. cbn.
      destruct (decide (th = th')) as [<- | Hne]; [rewrite lookup_insert | rewrite lookup_insert_ne by exact Hne]; reflexivity. }
    assert (forall th', th_frames (thread_of s' th') = th_frames (thread_of s th')) as Ef.
    { intros th'. unfold s', switch, tell, thread_of. cbn.
      destruct (decide (th = th')) as [<- | Hne]; [rewrite lookup_insert | rewrite lookup_insert_ne by exact Hne]; reflexivity. }
    assert (forall th' d, on_stack s' th' d <-> (th' = th /\ d = c) \/ on_stack s th' d) as Eo.
    { intros th' d. unfold on_stack. rewrite Es. destruct (decide (th = th')) as [<- | Hne].
      - unfold stack. rewrite elem_of_cons. tauto.
      - split; [auto | intros [[-> _] | ?]; [congruence | assumption]]. }
    split.
    - intros d. change (contexts s') with (contexts (put_context c (MkContext (ctx_map (context_of s c)) true (ctx_name (context_of s c))) s)).
      rewrite is_some_put by assumption. apply I1.
    - exact I2.
    - exact I3.
    - intros th' d. rewrite Eo. intros [[_ ->] | Hd]; [exact Hc | eapply I4, Hd].
    - intros th' d n. rewrite Ef. apply I5.
    - exact I6.
    - intros d. rewrite Ec. destruct (decide (c = d)) as [<- | Hne].
      + split; [intros _; exists th; apply Eo; auto | reflexivity].
      + rewrite I7. split; intros [th' Hd]; exists th'; [apply Eo; auto|].
        apply Eo in Hd as [[_ ->] | Hd]; [congruence | exact Hd].
    - intros th1 th2 d. rewrite !Eo. intros [[-> ->] | H1] [[-> E] | H2]; auto.
      + destruct (Hoff _ H2).
      + subst d. destruct (Hoff _ H1).
      + eapply I8; eassumption.
    - intros th'. rewrite Es. destruct (decide (th = th')) as [<- | Hne]; [|apply I9].
      apply NoDup_cons. split; [apply Hoff | apply I9].
    - intros th' b. rewrite Eb. intros Hb. destruct (I10 _ _ Hb) as (A & B & C). repeat split; auto.
      rewrite Ec. rewrite decide_False; [exact B | intros ->; eapply Hbase; eauto].
    - intros th1 th2 b. rewrite !Eb. apply I11.
    - intros th1 th2 b n. rewrite Eb, Ef. apply I12.
    - intros d. rewrite Ec. destruct (decide (c = d)); [apply (I13 c) | apply I13].
    - exact I14.
  Qed.

  Lemma inv_exit th c name s : inv s -> inv (exit th c name s).1.
  Proof.
    intros I. unfold exit. destruct (ctx_entered (context_of s c)) eqn:Ee; [|exact I]. cbn [negb].
    destruct (is_current c (thread_of s th)) eqn:Eu; [|exact I]. cbn [negb fst].
    pose proof I as [I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I11 I12 I13 I14].
    (* what is entered and current is on top of the stack, and no base *)
    assert (exists rest, th_stack (thread_of s th) = c :: rest) as [rest Er].
    { unfold is_current, current in Eu. destruct (th_stack (thread_of s th)) as [|d l] eqn:Es.
      - destruct (th_base (thread_of s th)) as [b|] eqn:Eb; [|discriminate]. apply N.eqb_eq in Eu. subst b.
        destruct (I10 _ _ Eb) as (_ & B & _). congruence.
      - apply N.eqb_eq in Eu. subst d. eauto. }
    rewrite Er. cbn [tail].
    assert (c < next_context s) as Hc by (apply (I4 th); unfold on_stack; rewrite Er; left).
    set (e := set_entered c false s). set (s' := switch th rest e).
    assert (forall d, context_of s' d = if decide (c = d) then MkContext (ctx_map (context_of s c)) false (ctx_name (context_of s c)) else context_of s d) as Ec
      by (intros d; exact (context_of_put s c _ d)).
    assert (forall th', th_stack (thread_of s' th') = if decide (th = th') then rest else th_stack (thread_of s th')) as Es.
    { intros th'. unfold s', switch, tell, thread_of. cbn.
      destruct (decide (th = th')) as [<- | Hne]; [rewrite lookup_insert | rewrite lookup_insert_ne by exact Hne]; reflexivity. }
    assert (forall th', th_base (thread_of s' th') = th_base (thread_of s th')) as Eb.
    { intros th'. unfold s', switch, tell, thread_of. cbn.
      destruct (decide (th = th')) as [<- | Hne]; [rewrite lookup_insert | rewrite lookup_insert_ne by exact Hne]; reflexivity. }
    assert (forall th', th_frames (thread_of s' th') = th_frames (thread_of s th')) as Ef.
    { intros th'. unfold s', switch, tell, thread_of. cbn.
      destruct (decide (th = th')) as [<- | Hne]; [rewrite lookup_insert | rewrite lookup_insert_ne by exact Hne]; reflexivity. }
    pose proof (I9 th) as Hnd. rewrite Er in Hnd. apply NoDup_cons in Hnd as [Hnot Hnd].
    assert (forall th' d, on_stack s' th' d <-> on_stack s th' d /\ d <> c) as Eo.
    { intros th' d. unfold on_stack. rewrite Es. destruct (decide (th = th')) as [<- | Hne].
      - rewrite Er, elem_of_cons. split; [intros Hd; split; [auto | intros ->; auto] | tauto].
      - split; [|tauto]. intros Hd. split; [exact Hd|]. intros ->. apply Hne. eapply I8; [|exact Hd].
        unfold on_stack. rewrite Er. left. }
    split.
    - intros d. change (contexts s') with (contexts (put_context c (MkContext (ctx_map (context_of s c)) false (ctx_name (context_of s c))) s)).
      rewrite is_some_put by assumption. apply I1.
    - exact I2.
    - exact I3.
    - intros th' d Hd. apply Eo in Hd as [Hd _]. eapply I4, Hd.
    - intros th' d n. rewrite Ef. apply I5.
    - exact I6.
    - intros d. rewrite Ec. destruct (decide (c = d)) as [<- | Hne].
      + split; [discriminate | intros [th' Hd]; apply Eo in Hd as [_ Hd]; congruence].
      + rewrite I7. split; intros [th' Hd]; exists th'; [apply Eo; auto | apply Eo in Hd; tauto].
    - intros th1 th2 d A B. apply Eo in A as [A _], B as [B _]. eapply I8; eassumption.
    - intros th'. rewrite Es. destruct (decide (th = th')); [exact Hnd | apply I9].
    - intros th' b. rewrite Eb. intros Hb. destruct (I10 _ _ Hb) as (A & B & C). repeat split; auto.
      rewrite Ec. destruct (decide (c = b)); [reflexivity | exact B].
    - intros th1 th2 b. rewrite !Eb. apply I11.
    - intros th1 th2 b n. rewrite Eb, Ef. apply I12.
    - intros d. rewrite Ec. destruct (decide (c = d)); [apply (I13 c) | apply I13].
    - exact I14.
  Qed.

  Lemma inv_set_frames th frames s : inv s ->
    (forall c name, (c, name) ∈ frames -> c < next_context s /\ forall th' b, th_base (thread_of s th') = Some b -> b <> c) ->
    inv (set_frames th frames s).
  Proof.
    intros I Hf. pose proof I as [I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I11 I12 I13 I14].
    unfold set_frames. set (t := MkThread _ _ _ _ _ _).
    assert (forall th', th_stack (thread_of (put_thread th t s) th') = th_stack (thread_of s th')) as Es
      by (intros th'; rewrite thread_of_put; destruct (decide (th = th')) as [<- |]; reflexivity).
    assert (forall th', th_base (thread_of (put_thread th t s) th') = th_base (thread_of s th')) as Eb
      by (intros th'; rewrite thread_of_put; destruct (decide (th = th')) as [<- |]; reflexivity).
    assert (forall th', th_frames (thread_of (put_thread th t s) th') = if decide (th = th') then frames else th_frames (thread_of s th')) as Ef
      by (intros th'; rewrite thread_of_put; destruct (decide (th = th')) as [<- |]; reflexivity).
    unfold on_stack in *. split; unfold on_stack; intros; rewrite ?Es, ?Eb, ?Ef in *; eauto.
    - destruct (decide (th = th0)); [eapply Hf; eassumption | eapply I5; eassumption].
    - change (context_of (put_thread th t s) c) with (context_of s c). rewrite I7.
      split; intros [th' Hth]; exists th'; rewrite ?Es in *; exact Hth.
    - destruct (decide (th = th')); [|eapply I12; eassumption]. intros E. destruct (Hf _ _ E) as [_ Hn].
      exact (Hn _ _ H1 eq_refl).
  Qed.

  Lemma named_not_base s name c : inv s -> names s !! name = Some c ->
    forall th b, th_base (thread_of s th) = Some b -> b <> c.
  Proof. intros I Hn th b Hb ->. destruct (inv_base s I th c Hb) as (_ & _ & C). exact (C name Hn). Qed.

  Lemma base_enter th c name s th' : th_base (thread_of (enter th c name s).1 th') = th_base (thread_of s th').
  Proof.
    unfold enter. destruct (ctx_entered _); [reflexivity|]. unfold switch, tell, thread_of. cbn.
    destruct (decide (th = th')) as [<- | Hne]; [rewrite lookup_insert | rewrite lookup_insert_ne by exact Hne]; reflexivity.
  Qed.

  Lemma next_enter th c name s : next_context (enter th c name s).1 = next_context s.
  Proof. unfold enter. destruct (ctx_entered _); reflexivity. Qed.

  Lemma inv_run_begin th name s : inv s -> inv (run_begin th name s).1.
  Proof.
    intros I. unfold run_begin. destruct (names s !! name) as [c|] eqn:Hn; [|exact I].
    pose proof (inv_enter th c name s I (inv_names s I _ _ Hn) (named_not_base s name c I Hn)) as I'.
    pose proof (base_enter th c name s) as Eb. pose proof (next_enter th c name s) as En.
    assert (forall th', th_frames (thread_of (enter th c name s).1 th') = th_frames (thread_of s th')) as Ef.
    { intros th'. unfold enter. destruct (ctx_entered _); [reflexivity|]. unfold switch, tell, thread_of. cbn.
      destruct (decide (th = th')) as [<- | Hne]; [rewrite lookup_insert | rewrite lookup_insert_ne by exact Hne]; reflexivity. }
    destruct (enter th c name s) as [s' [e|]]; cbn [fst] in *; [exact I'|].
    apply inv_set_frames; [exact I'|]. intros d n. rewrite elem_of_cons, En. intros [[= -> ->] | Hd].
    - split; [apply (inv_names s I _ _ Hn)|]. intros th' b. rewrite Eb. apply (named_not_base s name c I Hn).
    - split; [rewrite Ef in Hd; eapply (inv_frames s I), Hd|]. intros th' b. rewrite Eb. intros Hb ->.
      rewrite Ef in Hd. eapply (inv_frames_base s I); eassumption.
  Qed.

  Lemma inv_run_end th r s : inv s -> inv (run_end th r s).1.
  Proof.
    intros I. unfold run_end. destruct (th_frames (thread_of s th)) as [|[c name] frames] eqn:E; [exact I|].
    assert (inv (set_frames th frames s)) as If.
    { apply inv_set_frames; [exact I|]. intros d n Hd.
      assert ((d, n) ∈ th_frames (thread_of s th)) as Hd' by (rewrite E; right; exact Hd).
      split; [eapply (inv_frames s I), Hd'|]. intros th' b Hb ->. eapply (inv_frames_base s I); eassumption. }
    pose proof (inv_exit th c name _ If) as I'.
    destruct (exit th c name (set_frames th frames s)) as [s' [e|]]; exact I'.
  Qed.

  Lemma inv_unwind th frames : forall s, inv s -> inv (unwind frames th s).
  Proof. induction frames as [|f frames IH]; intros s I; [exact I | apply IH, inv_run_end, I]. Qed.

  (** A record of a thread with the same shape. *)
  Lemma inv_put_thread th t s : inv s -> shape t = shape (thread_of s th) -> inv (put_thread th t s).
  Proof.
    intros I E. apply (inv_same_threads s); auto; try apply I. intros th'. rewrite thread_of_put.
    destruct (decide (th = th')) as [<- |]; [exact E | reflexivity].
  Qed.

  Lemma inv_has_current th s : inv s -> inv (has_current th s).1.
  Proof.
    intros I. unfold has_current. cbn [fst].
    assert (inv (add_context new_context s)) as Ia by (apply inv_add; [exact I | reflexivity | apply good_empty]).
    apply (inv_same_threads (add_context new_context s)); auto; try apply Ia. intros th'.
    unfold switch, tell, thread_of. cbn. destruct (decide (th = th')) as [<- | Hne].
    - rewrite !lookup_insert. reflexivity.
    - rewrite !lookup_insert_ne by exact Hne. reflexivity.
  Qed.

  Lemma inv_run_at_once th name r s : inv s -> inv (run_at_once th name r s).1.
  Proof.
    intros I. unfold run_at_once. destruct (names s !! name) as [c|] eqn:Hn; [|exact I].
    pose proof (inv_enter th c name s I (inv_names s I _ _ Hn) (named_not_base s name c I Hn)) as I'.
    destruct (enter th c name s) as [s' [e|]]; cbn [fst] in *; [exact I'|].
    pose proof (inv_exit th c name s' I') as I2. destruct (exit th c name s') as [s2 [e|]]; exact I2.
  Qed.

  Lemma inv_copy c name s : inv s -> inv (copy c name s).
  Proof. intros I. apply inv_name_context; [exact I | apply (inv_maps s I)]. Qed.

  Lemma inv_copy_current th name s : inv s -> inv (copy_current th name s).
  Proof.
    intros I. unfold copy_current. pose proof (inv_base_made th s I) as I'.
    destruct (current_or_base th s) as [s' c]. apply inv_copy, I'.
  Qed.

  Lemma inv_events e s : inv s -> inv (set_events e s).
  Proof. intros I. apply (inv_same_threads s); auto; apply I. Qed.

  Lemma inv_set_watchers w s : inv s -> length w = 8%nat -> inv (set_watchers w s).
  Proof. intros I Hw. apply (inv_same_threads s); auto; apply I. Qed.

  Lemma inv_set_iterators f s : inv s -> inv (set_iterators f s).
  Proof. intros I. apply (inv_same_threads s); auto; apply I. Qed.

  Lemma inv_drop o s : inv s -> inv (drop o s).1.
  Proof.
    intros I. unfold drop. destruct (negb _); [exact I|]. cbn [fst].
    destruct o; try exact I.
    - apply (inv_keep s); auto; try apply I; intros; reflexivity.
    - apply inv_variables; [exact I|]. intros v. destruct (decide (id = v)) as [<- | Hne].
      + rewrite lookup_alter. intros [x ->]. cbn. eauto.
      + rewrite lookup_alter_ne by exact Hne. trivial.
    - apply inv_set_tokens; [exact I|]. intros j t. destruct (decide (id = j)) as [<- | Hne].
      + rewrite lookup_alter. destruct (tokens s !! id) as [x|] eqn:E; [|discriminate]. cbn. intros [= <-]. cbn.
        apply (inv_tokens s I _ _ E).
      + rewrite lookup_alter_ne by exact Hne. apply (inv_tokens s I).
    - destruct (names s !! id) as [c|] eqn:Hn; [|exact I]. pose proof (inv_names s I _ _ Hn) as Hc.
      apply (inv_keep s); auto; try apply I; try (intros; reflexivity).
      + intros d. apply is_some_put; assumption.
      + intros d. change (context_of (set_names (delete id) (put_context c (MkContext (ctx_map (context_of s c)) (ctx_entered (context_of s c)) None) s)) d)
          with (context_of (put_context c (MkContext (ctx_map (context_of s c)) (ctx_entered (context_of s c)) None) s) d).
        rewrite context_of_put. destruct (decide (c = d)) as [<- |]; reflexivity.
      + intros n d. cbn. destruct (decide (id = n)) as [<- | Hne]; [rewrite lookup_delete; discriminate | rewrite lookup_delete_ne by exact Hne; trivial].
      + intros d. change (context_of (set_names (delete id) (put_context c (MkContext (ctx_map (context_of s c)) (ctx_entered (context_of s c)) None) s)) d)
          with (context_of (put_context c (MkContext (ctx_map (context_of s c)) (ctx_entered (context_of s c)) None) s) d).
        rewrite context_of_put. destruct (decide (c = d)) as [<- |]; apply (inv_maps s I).
    - apply inv_set_iterators, I.
  Qed.

  Lemma take_slot_length w slots slots' n : take_slot w slots = Some (slots', n) -> length slots' = length slots.
  Proof.
    revert slots' n. induction slots as [|[x|] slots IH]; cbn; intros slots' n; try discriminate.
    - destruct (take_slot w slots) as [[l m]|]; [|discriminate]. intros [= <- <-]. cbn. f_equal. eapply IH. reflexivity.
    - intros [= <- <-]. reflexivity.
  Qed.

  (** ** Every operation *)

  Theorem inv_operate th op s : inv s -> inv (operate through_cache th op s).1.
  Proof.
    intros I. destruct op; cbn [operate]; try exact I.
    - destruct (values s !! made); [exact I|]. apply (inv_keep s); auto; try apply I; intros; reflexivity.
    - unfold new_variable. destruct (variables s !! made) eqn:E; [exact I|]. apply inv_variables; [exact I|].
      intros v [x Hx]. rewrite lookup_insert_ne by congruence. eauto.
    - apply inv_get, I.
    - apply inv_set, I.
    - unfold reset_any. destruct (held_variable s variable); [|exact I]. destruct token; try exact I.
      destruct (held_token s id) as [t|] eqn:Ht; [|exact I]. apply inv_reset; [exact I | apply held_token_some, Ht].
    - unfold on_token. destruct (held_token s token); exact I.
    - unfold on_token. destruct (held_token s token); exact I.
    - unfold on_token. destruct (held_token s token); exact I.
    - unfold on_token. destruct (held_token s token) as [t|] eqn:Ht; [|exact I].
      apply inv_reset; [exact I | apply held_token_some, Ht].
    - apply inv_name_context; [exact I | apply good_empty].
    - apply inv_copy_current, I.
    - unfold on_context. destruct (names s !! source); [apply inv_copy, I | exact I].
    - apply inv_run_begin, I.
    - apply inv_run_end, I.
    - apply inv_run_end, I.
    - unfold look_up. destruct (names s !! context); [destruct key|]; exact I.
    - unfold look_up. destruct (names s !! context); [destruct key|]; exact I.
    - unfold look_up. destruct (names s !! context); [destruct key|]; exact I.
    - unfold on_context. destruct (names s !! context); exact I.
    - unfold iterate. destruct (names s !! context); [destruct (iterators s !! made)|]; try exact I; apply inv_set_iterators, I.
    - unfold iterate. destruct (names s !! context); [destruct (iterators s !! made)|]; try exact I; apply inv_set_iterators, I.
    - unfold iterate. destruct (names s !! context); [destruct (iterators s !! made)|]; try exact I; apply inv_set_iterators, I.
    - unfold iterate. destruct (names s !! context); [destruct (iterators s !! made)|]; try exact I; apply inv_set_iterators, I.
    - unfold next. destruct (held_iterator s iterator) as [it|]; [|exact I].
      destruct (it_left it) as [|[k b] rest]; [exact I | apply inv_set_iterators, I].
    - unfold attempt. destruct (negb _); [exact I|].
      destruct tried, on; try exact I; apply inv_run_at_once, I.
    - unfold weak_reference. destruct (names s !! context) as [c|] eqn:Hn; [|exact I].
      destruct (references s !! made); [exact I|]. apply (inv_keep s); auto; try apply I; try (intros; reflexivity).
      intros r n d. cbn. destruct (decide (made = r)) as [<- | Hne].
      + rewrite lookup_insert. intros [= <- <-]. apply (inv_names s I _ _ Hn).
      + rewrite lookup_insert_ne by exact Hne. apply (inv_references s I).
    - apply inv_drop, I.
    - apply inv_name_context; [exact I | apply good_empty].
    - destruct source; try exact I. unfold on_context. destruct (names s !! id); [apply inv_copy, I | exact I].
    - apply inv_copy_current, I.
    - destruct context; try exact I. unfold on_context. destruct (names s !! id) as [c|] eqn:Hn; [|exact I].
      pose proof (inv_enter th c id s I (inv_names s I _ _ Hn) (named_not_base s id c I Hn)) as I'.
      unfold answer. destruct (enter th c id s) as [s' [e|]]; exact I'.
    - destruct context; try exact I. unfold on_context. destruct (names s !! id) as [c|]; [|exact I].
      pose proof (inv_exit th c id s I) as I'. unfold answer. destruct (exit th c id s) as [s' [e|]]; exact I'.
    - unfold new_variable. destruct (variables s !! made) eqn:E; [exact I|]. apply inv_variables; [exact I|].
      intros v [x Hx]. rewrite lookup_insert_ne by congruence. eauto.
    - destruct variable; try exact I. pose proof (inv_get th id given s I) as I'.
      destruct (get through_cache th id given s) as [s' o]. destruct o; try exact I'. destruct raised; exact I'.
    - destruct variable; try exact I. apply inv_set, I.
    - destruct (is_bound s variable && is_bound s token); [|exact I]. destruct variable; try exact I.
      destruct token; try exact I. unfold on_token. destruct (held_token s id0) as [t|] eqn:Ht; [|exact I].
      apply inv_reset; [exact I | apply held_token_some, Ht].
    - unfold add_watcher. destruct (take_slot made (watchers s)) as [[slots n]|] eqn:E; [|exact I].
      apply inv_set_watchers; [exact I|]. apply take_slot_length in E. rewrite E. apply I.
    - unfold clear_watcher. destruct slot as [n|]; [|exact I]. destruct (8 <=? n); [exact I|].
      destruct (watchers s !! N.to_nat n) as [[|]|]; try exact I. apply inv_set_watchers; [exact I|].
      rewrite insert_length. apply I.
    - unfold start_thread. destruct (threads s !! made) eqn:E; [exact I|].
      apply inv_put_thread; [exact I|]. unfold thread_of. rewrite E. reflexivity.
    - unfold end_thread. pose proof (inv_unwind th (th_frames (thread_of s th)) s I) as I'.
      apply inv_put_thread; [exact I' | reflexivity].
    - apply inv_put_thread; [exact I | reflexivity].
    - apply inv_has_current, I.
  Qed.

  Lemma inv_carry_out th op s : inv s -> inv (carry_out through_cache th op s).1.
  Proof. intros I. unfold carry_out. destruct (forallb _ _); [apply inv_operate, I | exact I]. Qed.

  Theorem inv_perform p s : inv s -> inv (perform through_cache p s).1.
  Proof.
    intros I. unfold perform. pose proof (inv_events [] s I) as Ie.
    match goal with |- context [th_live ?t] => destruct (th_live t) end; [|exact Ie].
    pose proof (inv_carry_out (step_thread p) (step_operation p) _ Ie) as I'.
    destruct (carry_out through_cache (step_thread p) (step_operation p) (set_events [] s)). exact I'.
  Qed.

  Lemma inv_perform_all ps : forall s, inv s -> inv (perform_all through_cache ps s).1.
  Proof.
    induction ps as [|p ps IH]; intros s I; [exact I|]. cbn [perform_all].
    pose proof (inv_perform p s I) as I'. destruct (perform through_cache p s) as [s' a]. cbn [fst] in I'.
    specialize (IH s' I'). destruct (perform_all through_cache ps s'). exact IH.
  Qed.

  (** ** Reachable states *)

  Inductive reachable : state M -> Prop :=
  | ReachableInitial : reachable initial
  | ReachableStep s p : reachable s -> reachable (perform through_cache p s).1.

  (** Every reachable state is well-formed. *)
  Theorem reachable_inv s : reachable s -> inv s.
  Proof. induction 1 as [|s p _ IH]; [apply inv_initial | apply inv_perform, IH]. Qed.
End invariant.
