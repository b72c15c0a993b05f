(** The trie is the plain map: at every level, find, assoc and without are those of the list of items. *)
From stdpp Require Import base numbers list sorting.
From Coq Require Import Lia.
From Contextvars Require Import Words SortedList Hamt.
From ContextvarsProofs Require Import Places Lists Slots HamtWf.
Local Open Scope N_scope.

Section correct.
  Context {V : Type}.
  Implicit Types (t x y : node V) (l : list (N * node V)) (P : N -> Prop) (k : key) (v : V).

  (** A branch around one slot: the slot's items are in the middle. *)
  Lemma around n P l1 l3 k : Forall (slot_ok n P) l1 -> Forall (slot_ok n P) l3 ->
    Forall (fun s : N * node V => s.1 < chunk (S n) (key_hash k)) l1 ->
    Forall (fun s : N * node V => chunk (S n) (key_hash k) < s.1) l3 ->
    Forall (fun z => chunk_of (S n) z < chunk (S n) (key_hash k)) (slots_items n l1) /\
    Forall (fun z => chunk (S n) (key_hash k) < chunk_of (S n) z) (slots_items n l3).
  Proof.
    intros F1 F3 H1 H3. split.
    - apply (slots_keys n P l1 (fun c => c < chunk (S n) (key_hash k))); assumption.
    - apply (slots_keys n P l3 (fun c => chunk (S n) (key_hash k) < c)); assumption.
  Qed.

  Lemma slot_chunk n P c x : content n (in_slot (S n) P c) x ->
    Forall (fun z => chunk_of (S n) z = c) (content_items n x).
  Proof. intros H. eapply Forall_impl; [apply content_keys, H|]. intros z [_ Hz]. exact Hz. Qed.

  (** ** Find *)

  Theorem node_find_items n : forall P t k, wf n P t -> node_find n k t = list_find k (node_items n t).
  Proof.
    induction n as [|n IH]; [intros ? ? ? []|]. intros P [o w | shape l | hash pairs] k; [intros [] | | reflexivity].
    rewrite wf_branch, items_branch. intros (_ & _ & A & F). cbn [node_find].
    destruct (slot_cases (chunk (S n) (key_hash k)) l A) as [l1 l3 -> H1 H3 -> _ | l1 x l3 -> H1 H3 -> _ _].
    - apply Forall_app in F as [F1 F3]. destruct (around n P l1 l3 k F1 F3 H1 H3) as [K1 K3].
      rewrite slots_items_app. symmetry. apply (find_split n k _ [] _ K1 K3).
    - apply Forall_app in F as [F1 F3]. apply Forall_cons in F3 as [[_ Fx] F3].
      destruct (around n P l1 l3 k F1 F3 H1 H3) as [K1 K3]. cbn [fst snd] in Fx.
      rewrite slots_items_app, slots_items_cons, (find_split n k _ _ _ K1 K3).
      destruct x; cbn [content_items list_find]; [reflexivity | eapply IH, Fx | eapply IH, Fx].
  Qed.

  (** ** Assoc *)

  Lemma wrap_ok n P k v : agree (S n) P -> n <> O -> P (key_hash k) ->
    wf (S n) P (wrap (S n) (Leaf k v)) /\ node_items (S n) (wrap (S n) (Leaf k v)) = [(k, v)].
  Proof.
    intros G Hn Hk. cbn [wrap]. rewrite wf_branch, items_branch. split; [|reflexivity]. repeat split.
    - exact Hn.
    - discriminate.
    - repeat constructor.
    - repeat constructor; cbn; [exists (key_hash k); split; auto | exact Hk].
  Qed.

  Lemma wrap_content n P x : (S n <= 8)%nat -> agree (S n) P -> n <> O -> content (S n) P x ->
    content (S n) P (wrap (S n) x) /\ content_items (S n) (wrap (S n) x) = content_items (S n) x.
  Proof.
    intros Hn G Hn0. destruct x as [k v | |]; [|auto|auto]. intros Hk.
    destruct (wrap_ok n P k v G Hn0 Hk) as [W E]. split; [exact W | exact E].
  Qed.

  Lemma map_content n P (f : node V -> node V) l :
    (forall c x, (exists hash, in_slot (S n) P c hash) -> content n (in_slot (S n) P c) x ->
       content n (in_slot (S n) P c) (f x) /\ content_items n (f x) = content_items n x) ->
    Forall (slot_ok n P) l ->
    Forall (slot_ok n P) (map (fun '((c, x) : N * node V) => (c, f x)) l) /\
    slots_items n (map (fun '((c, x) : N * node V) => (c, f x)) l) = slots_items n l.
  Proof.
    intros Hf F. induction F as [|[c x] l [He Hx] _ [IH E]]; [split; constructor|].
    cbn in He, Hx. destruct (Hf c x He Hx) as [Hc Hi]. cbn [map]. split.
    - constructor; [split; assumption | exact IH].
    - rewrite !slots_items_cons, Hi, E. reflexivity.
  Qed.

  Lemma slot_insert_map (f : node V -> node V) (c : N) x l :
    slot_insert c (f x) (map (fun '((c, x) : N * node V) => (c, f x)) l) = map (fun '((c, x) : N * node V) => (c, f x)) (slot_insert c x l).
  Proof. induction l as [|[d y] l IH]; cbn; [|destruct (c <? d); cbn; [|f_equal]]; auto. Qed.

  (** Sixteen slots need two levels below. *)
  Lemma full_deep n P l : agree (S n) P -> (S n <= 8)%nat -> n <> O -> ascending l -> Forall (slot_ok n P) l ->
    (bitmap_most <= length l)%nat -> (2 <= n)%nat.
  Proof.
    intros [B _] Hn H0 A F L. destruct n as [|[|n]]; [congruence | | lia].
    enough (length l <= N.to_nat 4)%nat by (unfold bitmap_most in L; lia).
    apply ascending_length; [exact A|]. eapply Forall_impl; [exact F|].
    intros s [[hash [Hh Hc]] _]. rewrite <- Hc. apply chunk_2, B, Hh.
  Qed.

  Lemma slot_add_ok n P shape k v l1 l3 :
    (S n <= 8)%nat -> agree (S n) P -> P (key_hash k) ->
    wf (S n) P (Branch shape (l1 ++ l3)) ->
    Forall (fun s => s.1 < chunk (S n) (key_hash k)) l1 ->
    Forall (fun s => chunk (S n) (key_hash k) < s.1) l3 ->
    (forall x, slot_insert (chunk (S n) (key_hash k)) x (l1 ++ l3) = l1 ++ (chunk (S n) (key_hash k), x) :: l3) ->
    wf (S n) P (slot_add (S n) shape k v (l1 ++ l3)) /\
    node_items (S n) (slot_add (S n) shape k v (l1 ++ l3)) = slots_items n l1 ++ (k, v) :: slots_items n l3.
  Proof.
    intros Hn G Hk. rewrite wf_branch. intros (H0 & Hd & A & F) H1 H3 Hi.
    assert (forall x, content n (in_slot (S n) P (chunk (S n) (key_hash k))) x ->
      Forall (slot_ok n P) (l1 ++ (chunk (S n) (key_hash k), x) :: l3)) as Hx.
    { intros x Hx. apply Forall_app in F as [F1 F3]. apply Forall_app. split; [exact F1|].
      constructor; [|exact F3]. split; [exists (key_hash k); split; auto | exact Hx]. }
    assert (forall x, ascending (l1 ++ (chunk (S n) (key_hash k), x) :: l3)) as Ax.
    { intros x. apply ascending_insert; assumption. }
    unfold slot_add. cbn [Nat.pred].
    assert (in_slot (S n) P (chunk (S n) (key_hash k)) (key_hash k)) as Hin by (split; auto).
    destruct n as [|n]; [congruence|].
    assert (forall c, agree (S n) (in_slot (S (S n)) P c)) as Gb by (intros; apply agree_below; [lia | exact G]).
    destruct shape; [destruct (Nat.leb_spec bitmap_most (length (l1 ++ l3))) as [L|L]|].
    - (* a full bitmap becomes an array *)
      assert (2 <= S n)%nat as Hd2 by (eapply full_deep; eauto).
      rewrite slot_insert_map, Hi, wf_branch, items_branch.
      destruct (map_content (S n) P (wrap (S n)) _ (fun c x _ => wrap_content n _ x ltac:(lia) (Gb c) ltac:(lia))
                  (Hx (Leaf k v) Hin)) as [Fm Em].
      repeat split; auto.
      + apply ascending_map, Ax.
      + rewrite Em, slots_items_app, slots_items_cons. reflexivity.
    - rewrite Hi, wf_branch, items_branch. repeat split; auto; try discriminate.
      rewrite slots_items_app, slots_items_cons. reflexivity.
    - specialize (Hd eq_refl).
      destruct (wrap_ok n (in_slot (S (S n)) P (chunk (S (S n)) (key_hash k))) k v (Gb _) ltac:(lia) Hin) as [W E].
      rewrite Hi, wf_branch, items_branch. repeat split; auto; try discriminate.
      rewrite slots_items_app, slots_items_cons. reflexivity.
  Qed.

  Definition assoc_ok n k v P t : Prop :=
    wf n P (node_assoc n k v t) /\ node_items n (node_assoc n k v t) = list_assoc n k v (node_items n t).

  (** The empty node takes any pair. *)
  Lemma assoc_empty n P k v : (S n <= 8)%nat -> agree (S n) P -> n <> O -> P (key_hash k) ->
    assoc_ok (S n) k v P (Branch Bitmap []).
  Proof.
    intros Hn G H0 Hk. unfold assoc_ok. cbn [node_assoc slot_find]. unfold slot_add. cbn.
    repeat split; auto; try discriminate; repeat constructor; cbn; auto.
    - exists (key_hash k). split; auto.
  Qed.

  Theorem node_assoc_items n : forall P t k v, (n <= 8)%nat -> agree n P -> P (key_hash k) -> wf n P t ->
    assoc_ok n k v P t.
  Proof.
    induction n as [|n IH]; [intros ? ? ? ? _ _ _ []|]. intros P t k v Hn G Hk W.
    set (c := chunk (S n) (key_hash k)).
    assert (forall shape l, wf (S n) P (Branch shape l) -> assoc_ok (S n) k v P (Branch shape l)) as into.
    { intros shape l Wb. pose proof Wb as (H0 & Hd & A & F)%wf_branch. unfold assoc_ok.
      rewrite items_branch. cbn [node_assoc]. fold c.
      destruct (slot_cases c l A) as [l1 l3 -> H1 H3 -> Hi | l1 x l3 -> H1 H3 -> Hr _].
      - apply Forall_app in F as [F1 F3]. destruct (around n P l1 l3 k F1 F3 H1 H3) as [K1 K3].
        destruct (slot_add_ok n P shape k v l1 l3) as [Wa Ea]; auto. split; [exact Wa|].
        rewrite Ea, slots_items_app. symmetry. apply (assoc_split n k _ [] _ K1 ltac:(constructor) K3).
      - apply Forall_app in F as [F1 F3]. apply Forall_cons in F3 as [[He Fx] F3]. cbn [fst snd] in He, Fx.
        destruct (around n P l1 l3 k F1 F3 H1 H3) as [K1 K3].
        pose proof (slot_chunk n P c x Fx) as K2.
        assert (in_slot (S n) P c (key_hash k)) as Hin by (split; auto).
        assert (agree n (in_slot (S n) P c)) as Gb by (apply agree_below; assumption).
        (* whatever takes the slot's place, if it is the slot's content changed *)
        assert (forall y, content n (in_slot (S n) P c) y ->
          content_items n y = list_assoc n k v (content_items n x) ->
          wf (S n) P (Branch shape (slot_replace c y (l1 ++ (c, x) :: l3))) /\
          node_items (S n) (Branch shape (slot_replace c y (l1 ++ (c, x) :: l3))) =
          list_assoc (S n) k v (slots_items n (l1 ++ (c, x) :: l3))) as swap.
        { intros y Hy E. rewrite Hr, wf_branch, items_branch. repeat split; auto.
          - eapply ascending_replace, A.
          - apply Forall_app. split; [exact F1|]. constructor; [split; assumption | exact F3].
          - rewrite !slots_items_app, !slots_items_cons, E. symmetry. apply (assoc_split n k _ _ _ K1 K2 K3). }
        destruct x as [o w | s m | hash pairs].
        + cbn [content content_items] in *.
          destruct (key_eqb k o) eqn:Eko.
          * apply key_eqb_true in Eko. subst o. apply swap; [exact Hin|]. unfold list_assoc. cbn.
            rewrite key_eqb_refl. reflexivity.
          * destruct (N.eqb_spec (key_hash k) (key_hash o)) as [Eh | Nh]; apply swap.
            -- destruct n as [|n]; [congruence|]. split; [exact Hin|]. repeat constructor. cbn. congruence.
            -- destruct n as [|n]; [congruence|]. cbn [content_items node_items].
               unfold list_assoc. cbn [list_find list_insert]. rewrite Eko, Eh, N.ltb_irrefl. reflexivity.
            -- (* both go into an empty node: there must be a level below that tells them apart *)
               destruct n as [|[|n]]; [congruence | |].
               ++ exfalso. apply Nh. apply (agree_bottom _ _ _ Gb Hin Fx).
               ++ destruct (assoc_empty (S n) (in_slot (S (S (S n))) P c) o w) as [We Ee]; auto; try lia.
                  destruct (IH (in_slot (S (S (S n))) P c) _ k v ltac:(lia) Gb Hin We) as [Wk _].
                  apply content_wf_back. exact Wk.
            -- destruct n as [|[|n]]; [congruence | |].
               ++ exfalso. apply Nh. apply (agree_bottom _ _ _ Gb Hin Fx).
               ++ destruct (assoc_empty (S n) (in_slot (S (S (S n))) P c) o w) as [We Ee]; auto; try lia.
                  destruct (IH (in_slot (S (S (S n))) P c) _ k v ltac:(lia) Gb Hin We) as [Wk Ek].
                  rewrite (content_items_wf _ _ _ Wk). rewrite Ek, Ee. reflexivity.
        + destruct (IH _ _ k v ltac:(lia) Gb Hin Fx) as [Wk Ek].
          apply swap; [apply content_wf_back, Wk | rewrite (content_items_wf _ _ _ Wk); exact Ek].
        + destruct (IH _ _ k v ltac:(lia) Gb Hin Fx) as [Wk Ek].
          apply swap; [apply content_wf_back, Wk | rewrite (content_items_wf _ _ _ Wk); exact Ek]. }
    destruct t as [o w | shape l | hash pairs]; [destruct W | apply into, W |].
    destruct W as [Hh F]. unfold assoc_ok. cbn [node_assoc].
    destruct (N.eqb_spec (key_hash k) hash) as [E | E].
    - split.
      + split; [exact Hh|]. destruct (list_find k pairs) eqn:Ef.
        * clear -F. induction F as [|[o w] pairs Ho Fp IHp]; cbn; [constructor|].
          destruct (key_eqb k o); constructor; auto.
        * apply Forall_app. split; [exact F|]. repeat constructor. exact E.
      + cbn [node_items]. unfold list_assoc. destruct (list_find k pairs) eqn:Ef; [reflexivity|].
        clear -F E. induction F as [|[o w] pairs Ho _ IHp]; cbn [list_insert app]; [reflexivity|].
        cbn in Ho. rewrite Ho, <- E, N.ltb_irrefl. f_equal. exact IHp.
    - destruct n as [|n]; [exfalso; apply E, (agree_bottom _ _ _ G Hk Hh)|].
      destruct (into Bitmap [(chunk (S (S n)) hash, Collision hash pairs)]) as [Wi Ei].
      { apply wf_branch. repeat split; [discriminate | discriminate | repeat constructor |].
        repeat constructor; cbn; auto. exists hash. split; auto. }
      split; [exact Wi|].
      etransitivity; [exact Ei|]. f_equal. rewrite items_branch, slots_items_cons. apply app_nil_r.
  Qed.

  (** ** Without *)

  Lemma inline_ok n P x : wf n P x -> content n P (inline x) /\ content_items n (inline x) = node_items n x.
  Proof.
    intros W. assert (content n P x /\ content_items n x = node_items n x) as same.
    { split; [apply content_wf_back, W | eapply content_items_wf, W]. }
    destruct x as [| [|] [|[c [o w | |]] [|]] |]; try exact same.
    destruct n as [|n]; [destruct W|]. apply wf_branch in W as (_ & _ & _ & F).
    apply Forall_cons in F as [[_ [Ho _]] _]. split; [exact Ho | reflexivity].
  Qed.

  Lemma inline_content n P x : content n P x ->
    content n P (inline x) /\ content_items n (inline x) = content_items n x.
  Proof.
    destruct x as [o w | s l | h pairs]; intros H.
    - split; [exact H | reflexivity].
    - change (wf n P (Branch s l)) in H. exact (inline_ok n P _ H).
    - change (wf n P (Collision h pairs)) in H. exact (inline_ok n P _ H).
  Qed.

  (** What is left of a node. A collision node of the eighth level leaves a bitmap node of one pair,
      which only its parent's inlining makes well-formed; array nodes, which do not inline, are higher. *)
  Definition without_ok n k P t : Prop :=
    match node_without n k t with
    | Absent => list_find k (node_items n t) = None
    | Emptied => list_find k (node_items n t) <> None /\ list_without k (node_items n t) = []
    | Left y =>
        list_find k (node_items n t) <> None /\
        content n P (inline y) /\ content_items n (inline y) = list_without k (node_items n t) /\
        ((2 <= n)%nat -> wf n P y /\ node_items n y = list_without k (node_items n t))
    end.

  Theorem node_without_items n : forall P t k, (n <= 8)%nat -> agree n P -> P (key_hash k) -> wf n P t ->
    without_ok n k P t.
  Proof.
    induction n as [|n IH]; [intros ? ? ? _ _ _ []|]. intros P t k Hn G Hk W.
    assert (forall y, wf (S n) P y -> list_find k (node_items (S n) t) <> None ->
      node_items (S n) y = list_without k (node_items (S n) t) ->
      match Left y with
      | Absent => list_find k (node_items (S n) t) = None
      | Emptied => list_find k (node_items (S n) t) <> None /\ list_without k (node_items (S n) t) = []
      | Left y =>
          list_find k (node_items (S n) t) <> None /\
          content (S n) P (inline y) /\ content_items (S n) (inline y) = list_without k (node_items (S n) t) /\
          ((2 <= S n)%nat -> wf (S n) P y /\ node_items (S n) y = list_without k (node_items (S n) t))
      end) as left_wf.
    { intros y Wy Hf E. destruct (inline_ok _ _ _ Wy) as [C I]. rewrite <- E. auto. }
    unfold without_ok. set (c := chunk (S n) (key_hash k)).
    destruct t as [o w | shape l | hash pairs]; [destruct W | |].
    - cbn [node_without]. fold c. pose proof W as (H0 & Hd & A & F)%wf_branch.
      rewrite items_branch in left_wf. rewrite items_branch.
      destruct (slot_cases c l A) as [l1 l3 -> H1 H3 -> _ | l1 x l3 -> H1 H3 -> Hr Hx].
      + apply Forall_app in F as [F1 F3]. destruct (around n P l1 l3 k F1 F3 H1 H3) as [K1 K3].
        rewrite slots_items_app. apply (find_split n k _ [] _ K1 K3).
      + apply Forall_app in F as [F1 F3]. apply Forall_cons in F3 as [[He Fx] F3]. cbn [fst snd] in He, Fx.
        destruct (around n P l1 l3 k F1 F3 H1 H3) as [K1 K3].
        pose proof (slot_chunk n P c x Fx) as K2.
        assert (in_slot (S n) P c (key_hash k)) as Hin by (split; auto).
        assert (agree n (in_slot (S n) P c)) as Gb by (apply agree_below; assumption).
        assert (list_find k (slots_items n (l1 ++ (c, x) :: l3)) = list_find k (content_items n x)) as Ef.
        { rewrite slots_items_app, slots_items_cons. apply (find_split n k _ _ _ K1 K3). }
        assert (list_without k (slots_items n (l1 ++ (c, x) :: l3)) =
          slots_items n l1 ++ list_without k (content_items n x) ++ slots_items n l3) as Ew.
        { rewrite slots_items_app, slots_items_cons. apply (without_split n k _ _ _ K1 K3). }
        rewrite Ef, Ew in left_wf. rewrite Ef, Ew. clear Ef Ew.
        assert (Forall (slot_ok n P) (l1 ++ l3)) as F13 by (apply Forall_app; auto).
        assert (ascending (l1 ++ l3)) as A13 by (eapply ascending_remove, A).
        (* a slot less *)
        assert (forall shape, (shape = Array -> (2 <= n)%nat) -> wf (S n) P (Branch shape (l1 ++ l3))) as less.
        { intros s Hs. apply wf_branch. auto. }
        (* another content *)
        assert (forall y, content n (in_slot (S n) P c) y -> wf (S n) P (Branch shape (l1 ++ (c, y) :: l3))) as other.
        { intros y Hy. apply wf_branch. repeat split; auto; [eapply ascending_replace, A|].
          apply Forall_app. split; [exact F1|]. constructor; [split; assumption | exact F3]. }
        assert (forall below : removal V, (forall o w, x <> Leaf o w) -> node_without n k x = below ->
          match below with
          | Absent => list_find k (content_items n x) = None
          | Emptied => list_find k (content_items n x) <> None /\ list_without k (content_items n x) = []
          | Left y =>
              list_find k (content_items n x) <> None /\
              content n (in_slot (S n) P c) (inline y) /\
              content_items n (inline y) = list_without k (content_items n x) /\
              ((2 <= n)%nat -> wf n (in_slot (S n) P c) y /\ node_items n y = list_without k (content_items n x))
          end) as child.
        { intros below Hl Eb. pose proof (content_wf _ _ _ Hl Fx) as Wx.
          pose proof (IH _ _ k ltac:(lia) Gb Hin Wx) as Wo. unfold without_ok in Wo. rewrite Eb in Wo.
          rewrite (content_items_wf _ _ _ Wx). exact Wo. }
        assert ((forall o w, x <> Leaf o w) ->
          match
            match node_without n k x with
            | Absent => Absent
            | Emptied =>
                Left match shape with
                     | Bitmap => Branch Bitmap (slot_remove c (l1 ++ (c, x) :: l3))
                     | Array =>
                         if (bitmap_most <=? length (slot_remove c (l1 ++ (c, x) :: l3)))%nat
                         then Branch Array (slot_remove c (l1 ++ (c, x) :: l3))
                         else Branch Bitmap (map (fun '((c, x) : N * node V) => (c, inline x)) (slot_remove c (l1 ++ (c, x) :: l3)))
                     end
            | Left y =>
                Left (Branch shape
                        (slot_replace c (match shape with Bitmap => inline y | Array => y end) (l1 ++ (c, x) :: l3)))
            end
          with
          | Absent => list_find k (content_items n x) = None
          | Emptied =>
              list_find k (content_items n x) <> None /\
              slots_items n l1 ++ list_without k (content_items n x) ++ slots_items n l3 = []
          | Left y =>
              list_find k (content_items n x) <> None /\
              content (S n) P (inline y) /\
              content_items (S n) (inline y) =
                slots_items n l1 ++ list_without k (content_items n x) ++ slots_items n l3 /\
              ((2 <= S n)%nat -> wf (S n) P y /\ node_items (S n) y =
                slots_items n l1 ++ list_without k (content_items n x) ++ slots_items n l3)
          end) as finish.
        { intros Hl. specialize (child _ Hl eq_refl). destruct (node_without n k x) as [| |y].
          - exact child.
          - destruct child as [Cf Cw]. rewrite Hx.
            destruct shape; [|destruct (Nat.leb_spec bitmap_most (length (l1 ++ l3)))].
            + apply left_wf; [apply less; discriminate | exact Cf |].
              rewrite items_branch, slots_items_app, Cw. reflexivity.
            + apply left_wf; [apply less, Hd | exact Cf |].
              rewrite items_branch, slots_items_app, Cw. reflexivity.
            + destruct (map_content n P inline (l1 ++ l3)) as [Fm Em];
                [intros d z _; apply inline_content | exact F13 |].
              apply left_wf; [|exact Cf|].
              * apply wf_branch. repeat split; auto; try discriminate. apply ascending_map, A13.
              * rewrite items_branch, Em, slots_items_app, Cw. reflexivity.
          - destruct child as (Cf & Cc & Ci & Cd). rewrite Hr. destruct shape.
            + apply left_wf; [apply other, Cc | exact Cf |].
              rewrite items_branch, slots_items_app, slots_items_cons, Ci. reflexivity.
            + destruct (Cd (Hd eq_refl)) as [Wy Ey].
              apply left_wf; [apply other, content_wf_back, Wy | exact Cf |].
              rewrite items_branch, slots_items_app, slots_items_cons, (content_items_wf _ _ _ Wy), Ey. reflexivity. }
        clear child. destruct x as [o w | s m | hash pairs]; [|apply finish; discriminate ..].
        clear finish. cbn [content_items list_find list_without] in *.
        destruct (key_eqb k o) eqn:Eko; [|reflexivity].
        rewrite Hx. destruct (l1 ++ l3) as [|z l13] eqn:E13.
        * split; [discriminate|]. destruct l1; [|discriminate]. cbn in E13. subst l3. reflexivity.
        * rewrite <- E13 in *. apply left_wf; [apply less, Hd | discriminate |].
          rewrite items_branch, slots_items_app. reflexivity.
    - destruct W as [Hh F]. change (node_items (S n) (Collision hash pairs)) with pairs in *.
      cbn [node_without]. destruct (list_find k pairs) as [v|] eqn:Ef; [|reflexivity].
      assert (Forall (fun z : key * V => key_hash z.1 = hash) (list_without k pairs)) as Fw.
      { clear -F. induction F as [|[o w] pairs Ho Fp IHp]; cbn; [constructor|].
        destruct (key_eqb k o); [assumption | constructor; assumption]. }
      destruct (list_without k pairs) as [|[o w] [|z rest]] eqn:Ew.
      + split; [discriminate | reflexivity].
      + apply Forall_cons in Fw as [Ho _]. cbn in Ho. split; [discriminate|].
        split; [cbn; rewrite Ho; exact Hh|]. split; [reflexivity|]. intros Hn2.
        split; [|rewrite items_branch; reflexivity].
        apply wf_branch. repeat split; try discriminate; try lia; repeat constructor.
        * exists hash. split; auto.
        * cbn. rewrite Ho. exact Hh.
        * cbn. rewrite Ho. reflexivity.
      + apply left_wf; [split; assumption | discriminate | reflexivity].
  Qed.
End correct.
